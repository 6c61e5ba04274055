"""The modules that Lambda's Python runtimes bring along, and those that are loaded before a package's own code is."""

from __future__ import annotations

SDK_MODULES = {
    "boto3": "boto3",
    "botocore": "botocore",
    "jmespath": "jmespath",
    "python-dateutil": "dateutil",
    "s3transfer": "s3transfer",
    "six": "six",
    "urllib3": "urllib3",
}
"""The SDK's distributions, each with the module that it installs.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-sdk-included"""

_STANDARD_LIBRARY = """
    abc array ast atexit base64 binascii bisect builtins bz2 calendar codecs collections concurrent configparser
    contextlib contextvars copy copyreg csv dataclasses datetime decimal difflib dis email encodings enum errno
    fcntl fnmatch functools genericpath getpass gzip hashlib heapq hmac html http importlib inspect io ipaddress
    itertools json keyword linecache locale logging lzma marshal math mimetypes mmap multiprocessing ntpath
    numbers opcode operator os pathlib pickle platform posix posixpath pyexpat queue quopri random re reprlib
    runpy secrets select selectors shlex shutil signal site socket ssl stat string struct subprocess sys
    tempfile termios textwrap threading time token tokenize traceback types typing urllib uuid warnings weakref
    xml zipfile zipimport zlib
"""

_RUNTIME = "awslambdaric runtime_client simplejson snapshot_restore_py"
"""Lambda's own runtime: https://github.com/aws/aws-lambda-python-runtime-interface-client"""

LOADED = frozenset({*_STANDARD_LIBRARY.split(), *_RUNTIME.split(), *SDK_MODULES.values()})
"""What the runtime and the equipment with its clients of AWS import: a test holds it against what they do.

A package's own module of such a name is never imported if Lambda's was first, and breaks what imports it if it was not.
"""
