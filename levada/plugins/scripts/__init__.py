"""Scripts and commands: `scripts.<language>.Commands` and `.Script`.

`scripting` has what all languages share, `runner` the task runners, `environments` Python environments. The folder
`pythonpath` is put on the module path of Python scripts; it is no part of Levada itself.
"""
