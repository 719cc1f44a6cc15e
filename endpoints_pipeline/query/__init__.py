"""SQL as data: pure functions over the engine's own syntax tree. The parser is an engine call, handed in."""
