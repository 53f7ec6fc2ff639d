"""From what ``Modellist`` names to networks that are ready to run."""
