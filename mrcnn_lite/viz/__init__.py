"""Pictures of the course: one look, one file per kind of picture. Needs matplotlib."""
