"""The bundled bank of natural patches, and the script that cuts it."""
