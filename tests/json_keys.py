#!/usr/bin/env python3
"""Holds docs/json.md and the documents that the program prints together.

    json_keys.py PAGE FILE ...      each FILE is a document, or a document a line; prints what one has and the other lacks
    json_keys.py --keys FILE ...    the keys of each kind of document

A key of the page's is `rows[].mean`; `config.*` stands for whatever names there are below. A key of the page that no document
here has is told, unless its line begins with "where"."""
import json
import re
import sys

HEAD = ["schema", "document", "experiment", "metric", "unit", "commit"]


def keys_of(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield path + key
            yield from keys_of(inner, path + key + ".")
    if isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, path[:-1] + "[]." if path else "[].")


def documents(files):
    for name in files:
        text = open(name, encoding="utf-8").read()
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            for line in text.splitlines():
                yield json.loads(line)


def page_keys(page):
    """{kind: {key: it may be missing here}}"""
    told = {}
    for kind, text in re.findall(r"^## `(\w+)`[^\n]*\n(.*?)(?=^## |\Z)", page, re.S | re.M):
        told[kind] = {}
        for names, words in re.findall(r"^\| (`[^|]*) \| ([^|]*)\|", text, re.M):
            for name in re.findall(r"`([^`]+)`", names):
                told[kind][name] = words.startswith("where")
    return told


def matches(key, patterns):
    return key in patterns or any(p.endswith(".*") and (key + ".").startswith(p[:-1]) for p in patterns)


def main():
    listing = sys.argv[1] == "--keys"
    seen = {}
    for document in documents(sys.argv[2:]):
        assert list(document)[:6] == HEAD and document["schema"] == 1, list(document)
        kind = document["document"]
        seen.setdefault(kind, {})
        seen[kind].update(dict.fromkeys(key for key in keys_of(document) if key not in HEAD))
    if listing:
        for kind, keys in seen.items():
            print(kind, *keys)
        return 0
    told, wrong = page_keys(open(sys.argv[1], encoding="utf-8").read()), 0
    for kind in sorted(told.keys() | seen.keys()):
        page, found = told.get(kind, {}), seen.get(kind, {})
        for key in found:
            if not matches(key, page):
                print(f"{kind}: {key} is in the output, not on the page")
                wrong += 1
        for key, optional in page.items():
            if not optional and not any(matches(other, [key]) for other in found):
                print(f"{kind}: {key} is on the page, not in the output")
                wrong += 1
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
