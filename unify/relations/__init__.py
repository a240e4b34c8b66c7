"""Class relations: evidence, rules, files, scores."""
