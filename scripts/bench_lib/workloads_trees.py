# SPDX-License-Identifier: BSD-3-Clause
"""Source trees: this project's own is unpacked, compiled, cloned and checked out."""

import os
import shutil
import tarfile

from bench_lib.workloads_kit import Failed, Measured, Workload

# Without what fuzzers collected: as many files again, of a few bytes each.
TREE = ("CMakeLists.txt", "LICENSE", "README.md", "docs", "fs", "pmemdev", "scripts", "tests")
PART = ("LICENSE", "docs", "pmemdev", "tests/bench", "tests/system")
LEFT_OUT = ("tests/fuzz/corpus", "__pycache__", "docs/benchmarks")
SECOND = "tests"  # comes with the second commit
COMPILED = ("tests/bench/map_share.cc", "tests/system/mapped_file.cc")


def archive_of(kit):
    """The tree as a tar; made once a run."""
    archive = kit.scratch / "tree.tar"
    if not archive.exists():
        def wanted(member):
            return None if any(part in member.name for part in LEFT_OUT) else member
        with tarfile.open(archive, "w") as tar:
            for name in TREE if kit.sizes.whole_tree else PART:
                tar.add(kit.root / name, name, filter=wanted)
    return archive


def git_environment(kit):
    """Nobody's settings but ours."""
    return {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(kit.scratch),
            **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", "bench"), ("EMAIL", "bench@example.org"))}}


def repository_of(kit):
    """A repository of two commits, packed; made once a run."""
    repository = kit.scratch / "repository"
    if repository.exists():
        return repository
    tree = kit.scratch / "repository.new"
    tree.mkdir()

    def git(*words):
        kit.call("git", "-C", tree, *words, env=git_environment(kit))
    try:
        kit.call("tar", "-xf", archive_of(kit), "-C", tree)
        git("-c", "init.defaultBranch=main", "init", "-q")
        git("add", "--all", ":!" + SECOND)
        git("commit", "-q", "-m", "first")
        git("branch", "first")
        git("add", "--all")
        git("commit", "-q", "-m", "second")
        git("repack", "-adq")
    except Failed:
        shutil.rmtree(tree)
        raise
    tree.rename(repository)
    return repository


def unpack_and_compile(folder, kit):
    archive = archive_of(kit)
    tree = folder / "tree"
    tree.mkdir()
    temporary = folder / "tmp"
    temporary.mkdir()
    done = Measured({"untar": kit.timed("tar", "-xf", archive, "-C", tree)})
    try:
        done.costs["compile"] = kit.timed(
            "c++", "-std=c++20", "-O0", "-D_GNU_SOURCE", "-pipe", "-I", tree,
            *(tree / name for name in COMPILED), "-lfmt", "-o", folder / "map_share",
            env={**os.environ, "TMPDIR": str(temporary)})
        kit.call(folder / "map_share", tree / "LICENSE")  # it is a program
    except Failed as failure:
        done.missing["compile"] = str(failure)
    return done


def clone(folder, kit):
    repository, environment = repository_of(kit), git_environment(kit)
    target = folder / "clone"
    cost = kit.timed("git", "clone", "-q", "--no-local", "--branch=first", repository, target,
                     env=environment)
    checkout = kit.timed("git", "-C", target, "checkout", "-q", "main", env=environment)
    for name in COMPILED:
        if (target / name).read_bytes() != (kit.root / name).read_bytes():
            raise Failed(f"{name} differs after the checkout")
    return Measured({"git_clone": cost, "git_checkout": checkout})


WORKLOADS = (
    Workload("tree", "source trees", "tar unpacks this project's sources; c++ compiles one of its "
             "programs there, with its temporary files", ("untar", "compile"), unpack_and_compile),
    Workload("git", "source trees", "git clones a repository of these sources (a pack, a working "
             "tree without the tests), then checks out the commit that has the tests",
             ("git_clone", "git_checkout"), clone),
)
