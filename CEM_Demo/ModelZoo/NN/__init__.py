"""One file per architecture family; variants of a family are arguments of its class."""
