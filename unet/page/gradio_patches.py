"""Changes to Gradio that none of its settings makes: a function a patch.

Each says why it is there and for which version it was written; a test of each fails once Gradio
does without it.
"""

from __future__ import annotations

from typing import Any

from gradio.mcp import GradioMCPServer


def convert_lists_of_files() -> None:
    """Let tools of the Model Context Protocol take lists of files.

    Gradio 6.31 notes that the items of a list are files, as `[name, "items"]`, and then looks for
    them at `[name, 0]`: the addresses stay text, and every call fails.
    """
    if getattr(GradioMCPServer.convert_strings_to_filedata, "takes_lists", False):
        return
    convert = GradioMCPServer.convert_strings_to_filedata

    def convert_with_lists(
        self: GradioMCPServer, value: Any, filedata_positions: list[list[str | int]]
    ) -> Any:
        positions = list(filedata_positions)
        for name, *rest in filedata_positions:
            if rest == ["items"] and isinstance(value.get(name), list):
                positions += [[name, index] for index in range(len(value[name]))]
        return convert(self, value, positions)

    convert_with_lists.takes_lists = True
    GradioMCPServer.convert_strings_to_filedata = convert_with_lists


def split_tool_outputs() -> None:
    """Let tools of the Model Context Protocol answer with an image beside their text.

    Gradio 6.31 takes several outputs for one where the client asks for no progress, and writes it
    as text: the mask is then no image.
    """
    if getattr(GradioMCPServer._execute_tool_without_progress, "splits_outputs", False):
        return
    execute = GradioMCPServer._execute_tool_without_progress

    async def execute_and_split(self: GradioMCPServer, job: Any) -> list[Any]:
        outputs = await execute(self, job)
        several = len(outputs) == 1 and isinstance(outputs[0], list | tuple)
        return list(outputs[0]) if several else outputs

    execute_and_split.splits_outputs = True
    GradioMCPServer._execute_tool_without_progress = execute_and_split
