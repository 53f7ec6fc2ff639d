"""Networks, one file per family of architectures; variants of a family are arguments of its class."""
