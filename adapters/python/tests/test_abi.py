# SPDX-License-Identifier: Apache-2.0
"""The structs of sixcall.abi have the layout of the header."""

import ctypes
import json
import subprocess
import unittest

from sixcall import abi
from helpers import TestCase, compile_c


class TestLayout(TestCase):
    def test_every_field_lies_where_the_header_has_it(self):
        lines = ["#include <sixcall/connector.h>", "#include <stdio.h>", 'int main(void) { printf("{");']
        for name, struct in abi.STRUCTS.items():
            lines.append(f'printf("\\"{name}\\": {{\\"size\\": %zu", sizeof({name}));')
            for field in (f[0] for f in struct._fields_):
                lines.append(
                    f'printf(", \\"{field}\\": [%zu, %zu]", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));'
                )
            lines.append('printf("},\\n");')
        lines.append('printf("\\"end\\": 0}\\n"); return 0; }')
        program = compile_c(self.folder(), "\n".join(lines), "offsets")
        header = json.loads(subprocess.run([program], check=True, capture_output=True, text=True).stdout)
        for name, struct in abi.STRUCTS.items():
            with self.subTest(struct=name):
                ours = {field[0]: [getattr(struct, field[0]).offset, getattr(struct, field[0]).size] for field in struct._fields_}
                theirs = header[name]
                self.assertEqual(ctypes.sizeof(struct), theirs.pop("size"))
                self.assertEqual(ours, theirs)

    def test_the_numbers_are_those_of_the_header(self):
        names = [n for n in dir(abi) if n.isupper() and isinstance(getattr(abi, n), int)]
        self.assertIn("E_AGAIN", names)
        checks = [f'_Static_assert(SIXCALL_{n} == {getattr(abi, n)}, "{n}");' for n in names]
        checks.append(f'_Static_assert(sizeof(SIXCALL_ENTRY_SYMBOL) == {len(abi.ENTRY_SYMBOL) + 1}, "symbol");')
        compile_c(self.folder(), "#include <sixcall/connector.h>\n" + "\n".join(checks) + "\nint main(void) { return 0; }", "numbers")


if __name__ == "__main__":
    unittest.main()
