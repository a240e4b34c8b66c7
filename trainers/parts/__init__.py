"""What is trained beside a net and not used afterwards."""
