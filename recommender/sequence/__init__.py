"""Networks that read histories in order, without padding."""
