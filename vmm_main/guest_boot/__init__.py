"""What puts a kernel into guest memory and the boot CPU at its entry."""
