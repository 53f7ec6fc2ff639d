"""Turn what ``Modellist`` names into networks that are ready to run."""
