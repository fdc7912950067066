"""ACPI tables of the boards, and the AML they hold."""
