"""What is audited: a table for each part of the ecosystem."""
