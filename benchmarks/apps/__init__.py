"""The applications under measurement; servers find them as top-level modules of this folder."""
