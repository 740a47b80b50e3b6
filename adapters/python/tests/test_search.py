# SPDX-License-Identifier: Apache-2.0
"""Finding and checking a library."""

import hashlib
import os
import unittest
from unittest import mock

from sixcall import Error, params, search
from helpers import TestCase


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class TestFind(TestCase):
    def test_the_places_are_searched_in_order(self):
        first, second = self.folder(), self.folder()
        for folder in (first, second):
            open(os.path.join(folder, "libsixcall_x.so"), "w").close()
        with mock.patch.dict(os.environ, {search.SEARCH_PATH_ENV: f"relative:{first}:{second}"}):
            self.assertEqual(search.find("x"), os.path.join(first, "libsixcall_x.so"))
            os.remove(os.path.join(first, "libsixcall_x.so"))
            self.assertEqual(search.find("x"), os.path.join(second, "libsixcall_x.so"))
            os.remove(os.path.join(second, "libsixcall_x.so"))
            with self.assertRaises(Error) as caught:
                search.find("x")
        for part in ("'relative' is ignored", first, second, "/usr/local/lib/sixcall", search.bundled_folder()):
            self.assertIn(part, str(caught.exception))

    def test_what_is_no_name_and_no_path_is_refused(self):
        for connector, want in {
            "": "want the path or the name",
            "libx.so": "write './libx.so'",
            "a b": "letters, digits",
            "/nowhere/libx.so": "no such file",
            "/usr/": "a folder",
            "/dev/null": "not a regular file",
        }.items():
            with self.subTest(connector), self.assertRaisesRegex(Error, want):
                search.find(connector)


class TestCheck(TestCase):
    def library(self, content: bytes) -> str:
        path = os.path.join(self.folder(), "libsixcall_x.so")
        with open(path, "wb") as file:
            file.write(content)
        return path

    def test_what_is_not_a_library_is_refused(self):
        for content, want in {
            b"#!/bin/sh\n": "not an ELF file",
            b"\x7fELF\x02\x01": "truncated",
            b"\x7fELF\x01\x01" + b"\0" * 60: "another machine",
        }.items():
            with self.subTest(want), self.assertRaisesRegex(Error, want):
                search.check(self.library(content))

    def test_a_file_that_everybody_can_write_is_refused(self):
        path = search.find("mem")
        copy = self.library(read(path))
        self.assertEqual(search.check(copy), os.path.realpath(copy))
        os.chmod(copy, 0o646)
        with self.assertRaisesRegex(Error, "file .* can be written by everybody"):
            search.check(copy)
        os.chmod(copy, 0o644)
        os.chmod(os.path.dirname(copy), 0o777)
        with self.assertRaisesRegex(Error, "folder .* can be written by everybody"):
            search.check(copy)

    def test_a_pin_is_the_content(self):
        path = search.find("mem")
        good = hashlib.sha256(read(path)).hexdigest()
        search.check(path, good.upper())
        with self.assertRaisesRegex(Error, f"its sha256 is {good}, want {'0' * 64}"):
            search.check(path, "0" * 64)


class TestParams(TestCase):
    def test_secrets_are_looked_up(self):
        secret = os.path.join(self.folder(), "secret")
        with open(secret, "w") as file:
            file.write("from file\n")
        with mock.patch.dict(os.environ, {"SIXCALL_TEST_SECRET": "from env"}):
            text = params.encode({"a": {"$env": "SIXCALL_TEST_SECRET"}, "b": [{"$file": secret}], "c": 1}, "x")
        self.assertEqual(text, b'{"a": "from env", "b": ["from file"], "c": 1}')

    def test_wrong_references_are_named(self):
        for value, want in (
            ({"a": {"$env": "SIXCALL_NOT_SET"}}, "params.a: environment variable 'SIXCALL_NOT_SET' is not set"),
            ({"a": {"$env": "X", "y": 1}}, "beside other keys"),
            ({"a": {"$file": "x"}}, "want an absolute path"),
            ({"a": float("nan")}, "not JSON compliant"),
            ([], "want an object"),
        ):
            with self.subTest(want), self.assertRaisesRegex(Error, want):
                params.encode(value, "x")


if __name__ == "__main__":
    unittest.main()
