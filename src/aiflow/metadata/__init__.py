"""The metadata of a home as users ask for it: `project.models`, `.datasets`, `.artifacts`, `.metrics`, `.lineage`."""
