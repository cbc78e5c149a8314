"""The files that a page writes, as a reader would have them at the end of each step.

    tests/page_code.py PAGE FOLDER N     writes the files of step N; ends with 1 where there is none

A block of Lua begins with its file's name (`-- my_head.lua`); a later block of the same name replaces it. A step ends before
a heading."""

import os
import re
import sys


def steps(page):
    with open(page, encoding="utf-8") as file:
        parts = re.split(r"^## ", file.read(), flags=re.M)
    found = [re.findall(r"^```lua\n-- (\S+\.lua)\n(.*?)^```", part, re.M | re.S) for part in parts]
    return [files for files in found if files]


def main():
    page, folder, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    files = steps(page)
    if number > len(files):
        sys.exit(1)
    for name, text in files[number - 1]:
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            out.write("-- %s\n%s" % (name, text))


main()
