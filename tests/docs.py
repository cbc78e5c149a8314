"""What README.md and docs/ tell a reader to follow or to type must be there.

    tests/docs.py HARNESS [PAGE ...]      pages: default README.md, docs/*.md, results/reference/README.md

Links lead to files (and to headings that are there); a `./harness` line names a subcommand, its options as --help has
them, options of experiments and files of experiments; `make` has the target; HARNESS_ names are read somewhere; files that
pages or the comments of C sources name are in the tree (NAME.c stands for any)."""

import functools
import glob
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


@functools.lru_cache(None)
def told(*words):
    """What the program answers."""
    answer = subprocess.run([sys.argv[1], *words], capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else ""


def anchors(path):
    heads = re.findall(r"^#+ (.*)$", read(path), re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def wrong_links(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(page), file)) if file else page
        if not os.path.exists(os.path.join(ROOT, path)):
            yield "links to %s, which is not there" % target
        elif anchor and anchor not in anchors(path):
            yield "links to %s, but %s has no such heading" % (target, path)


def lua_of(page):
    """The files of Lua that a page writes as it goes, by name (tests/page_code.py)."""
    return dict(re.findall(r"^```lua\n-- (\S+\.lua)\n(.*?)^```", read(page), re.M | re.S))


def stands_for(word):
    """A word that a reader replaces: NAME, DIR."""
    return re.search(r"\b[A-Z]{2,}\b", word)


def commands(page, program):
    """The lines of blocks and the spans of text that call the program."""
    for line in read(page).split("\n"):
        if line.startswith("    ") and re.match(r"(\w+=\S* )*" + program, line.strip()):
            yield re.sub(r"\s#.*", "", line.strip())
        elif not line.startswith("    "):
            yield from (span for span in re.findall(r"`([^`]+)`", line) if span.startswith(program))


def option_names():
    models = re.findall(r"^(\w+)  ", told("help", "models"), re.M)
    texts = [told("help", word) for word in ["options", *models]]
    return set(re.findall(r"^(\w+)  ", "\n".join(texts), re.M)) | {"scale", "seeds", "first_seed", "until", "budget", "folds", "device"}


def wrong_words(words, written):
    """words: of a call, the program's own left out. written: files of the page itself, whose models have options."""
    if words[0] in ("help", "version", "--help", "--version"):
        if words[1:] and not stands_for(words[1]) and os.path.basename(words[1]) not in written and not told(*words):
            yield "help knows no %s" % words[1]
        return
    call = [word for word in words[:2] if not word.startswith("-")]  # a file in the second place changes no help
    text = told(*call, "--help")
    if not text:
        yield "`%s` is no subcommand" % " ".join(call)
        return
    own = set(re.findall(r'name = "(\w+)", (?:type|of) =', "".join(written.values())))
    flags = set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", text))
    for word in words:
        if word.startswith("-") and word.split("=")[0] not in flags:
            yield "`%s` has no option %s" % (" ".join(call), word.split("=")[0])
        if call[0] in ("run", "estimate") and re.match(r"\w+=", word) and word.split("=")[0] not in option_names() | own:
            yield "no experiment has the option %s" % word.split("=")[0]
        if re.match(r"experiments/[\w/]+\.lua$", word) and not stands_for(word) and not os.path.exists(os.path.join(ROOT, word)):
            yield "%s is not there" % word


def wrong_commands(page):
    for line in commands(page, r"./harness "):
        words = shlex.split(line.replace("[", "").replace("]", "").replace("...", ""))
        words = words[words.index("./harness") + 1:]
        if words and not re.search(r"[|<>]", " ".join(words)):
            yield from ("%s: %s" % (line, reason) for reason in wrong_words(words, lua_of(page)))
    targets = set(re.findall(r"^([a-z][\w-]*):", read("Makefile"), re.M))
    for line in commands(page, "make "):
        for word in shlex.split(line.split("&&")[0])[1:]:
            if re.match(r"[a-z][a-z-]*$", word) and word not in targets:
                yield "%s: the Makefile has no target %s" % (line, word)


@functools.lru_cache(None)
def read_names():
    names = ["grep", "-rohE", "--exclude=docs.*", "HARNESS_[A-Z_]+", "kernels", "engine", "lua", "src", "base", "tests", "Makefile"]
    return set(subprocess.run(names, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def wrong_names(page):
    for name in sorted(set(re.findall(r"HARNESS_[A-Z_]+", read(page))) - read_names()):
        yield "nothing reads %s" % name


@functools.lru_cache(None)
def files():
    return subprocess.run(["tests/sources"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


@functools.lru_cache(None)
def ends():
    """Of every path: conv.c, kernels/conv.c."""
    return {file.split("/", start)[-1] for file in files() for start in range(file.count("/") + 1)}


def wrong_files(texts, written=()):
    for text in texts:
        for name in re.findall(r"(?<![\w/.*$<\"-])((?:[\w.]+/)*\w[\w.]*\.(?:c|h|cu|cc|def|lua|py|bats))\b(?![/\w(])", text):
            name = re.sub(r"^(HOME|home)/", "", name)
            if not re.search(r"[A-Z]{3,}|^(setjmp|cmocka)\.h$", name) and name not in ends() and os.path.basename(name) not in written:
                yield "names %s, which is not there" % name


def comments(path):
    return re.findall(r"/\*.*?\*/|//[^\n]*", read(path), re.S)


def main():
    pages = sys.argv[2:] or ["README.md", "results/reference/README.md"] + sorted(glob.glob("docs/*.md", root_dir=ROOT))
    failed = 0
    for page in pages:
        found = [*wrong_links(page), *wrong_commands(page), *wrong_names(page), *wrong_files([read(page)], lua_of(page))]
        failed += len(found)
        for reason in found:
            print("%s: %s" % (page, reason))
    sources = [] if sys.argv[2:] else [file for file in sorted(files()) if re.search(r"\.(c|h|cu|cc|def)$", file)]
    for path in sources:
        for reason in wrong_files(comments(path)):
            failed += 1
            print("%s: %s" % (path, reason))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
