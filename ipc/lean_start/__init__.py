"""How main and zygote start lean: modules from one file, found without a search (docs/decisions/0004)."""
