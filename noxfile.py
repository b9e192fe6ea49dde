"""Everything that is run, checked and built; `nox -l` lists it, and `check` runs `CHECKS`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

# What can be installed, and what each needs from this repository.
PACKAGES = {
    "spark-core-tracers": [],
    "spark-nn-synapses": ["spark-core-tracers"],
    "spark-bench": ["spark-core-tracers", "spark-nn-synapses"],
}
EDITABLE = [f"-epackages/{package}" for package in PACKAGES]
PYTHONS = ["3.11", "3.12", "3.13"]
BACKENDS = {"cpu": "", "cuda12": "[cuda12]", "cuda13": "[cuda13]"}
KATEX = "katex@0.16"

# What sessions install and set, the libraries to compare with, and the networks to run.
ABOUT = nox.project.load_toml(Path(__file__).with_name(".environments.toml"))
JAX, TOOLS, VARIABLES = ABOUT["jax"], ABOUT["tools"], ABOUT["variables"]
PEERS, NETWORKS = ABOUT["peers"], ABOUT["networks"]
REPORT = Path("report")

# What every change must pass; tests compile on one core while the others run on the other.
CHECKS = ["tests", "lint", "types", "docs", "build"]

# Has known vulnerabilities: a database that names none of them says nothing about the rest.
CANARY = "jinja2==2.10"

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["check"]


def install(session, *packages, jax="newest", backend="cpu", group="test"):
    """Install packages with what they need, editable, and a group of the first one's tools."""
    needed = dict.fromkeys(name for each in packages for name in (*PACKAGES[each], each))
    sources = [f"-epackages/{name}{BACKENDS[backend]}" for name in needed]
    groups = []
    for package in packages:
        project = nox.project.load_toml(f"packages/{package}/pyproject.toml")
        groups += nox.project.dependency_groups(project, group)
    session.install(*sources, *groups, *JAX[jax])


def test(session, *what):
    """Run pytest; what XLA compiled for one worker or Python, the others load from a cache."""
    compiled = str(session.cache_dir.absolute() / "compiled")
    session.env.update(VARIABLES["tests"], JAX_COMPILATION_CACHE_DIR=compiled)
    # A program that is still being written, or never was to its end, is compiled again.
    torn = "ignore:Error reading persistent compilation cache entry:UserWarning"
    session.run("pytest", "-W", torn, *what, *session.posargs)


@nox.session(venv_backend="none")
def check(session):
    """Run every check with this Python and the newest JAX: the tests, and beside them the rest."""
    run = [sys.executable, "-m", "nox", "--sessions"]
    tests, *others = CHECKS
    log = Path(session.create_tmp(), "others.log")
    with log.open("w") as output:
        beside = subprocess.Popen([*run, *others], stdout=output, stderr=subprocess.STDOUT)
        try:
            failed = subprocess.run([*run, tests, "--", *session.posargs]).returncode
        finally:
            failed |= beside.wait()
    print(log.read_text())
    if failed:
        session.error("a check failed: its session says so above")


@nox.session
def tests(session):
    """Run all tests on the CPU with this Python and the newest JAX."""
    install(session, *PACKAGES)
    test(session, "-n", "auto", "packages", "tests-integration")


@nox.session
def oldest(session):
    """Run the tests that versions of JAX may break on the oldest one; all of them: `matrix`."""
    install(session, *PACKAGES, jax="oldest")
    test(session, "-n", "auto", "-m", "versions", "packages", "tests-integration")


@nox.session
def bounds(session):
    """Run the tests of synapses while numba checks every index of the compiled kernels."""
    install(session, "spark-nn-synapses")
    session.env.update(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=session.create_tmp())
    test(session, "-n", "auto", "packages/spark-nn-synapses")


@nox.session(python=PYTHONS)
@nox.parametrize("jax", list(JAX))
@nox.parametrize("backend", list(BACKENDS))
@nox.parametrize("suite", [*PACKAGES, "integration"])
def matrix(session, suite, backend, jax):
    """Run the tests of one package, or of all together, on one Python, backend and JAX."""
    if backend != "cpu" and shutil.which("nvidia-smi") is None:
        session.skip("no NVIDIA GPU on this machine")
    packages, folder = [suite], f"packages/{suite}"
    if suite == "integration":
        packages, folder = PACKAGES, "tests-integration"
    install(session, *packages, jax=jax, backend=backend)
    session.env["JAX_PLATFORMS"] = "cpu" if backend == "cpu" else "cuda"
    session.env["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # tests start processes that need some
    test(session, *(["-n", "auto"] if backend == "cpu" else []), folder)


@nox.session
def fuzz(session):
    """Try 10 000 random configurations and inputs of tracers, and as many of synapses."""
    install(session, *PACKAGES)
    session.env["EXAMPLES"] = "10000"
    test(session, "-n", "auto", "tests-integration/test_random_configurations.py")


@nox.session
def lint(session):
    """Check style and formatting, and the workflows against this file."""
    session.install("ruff>=0.17,<0.18", "check-jsonschema>=0.33", "nox[uv]", "pytest>=9", "pyyaml")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    workflows = Path(".github/workflows").glob("*.yml")
    session.run("check-jsonschema", "--builtin-schema=vendor.github-workflows", *workflows)
    session.run("pytest", "-q", "tests-integration/automation")


@nox.session
def types(session):
    """Check types, strictly."""
    install(session, *PACKAGES, group="types")
    for package in PACKAGES:
        session.run("mypy", f"packages/{package}/src")


@nox.session
def build(session):
    """Build wheels and sdists, test what is in them, and install each alone."""
    session.install("build[uv]", "hatchling", "pytest>=9")
    session.run("pytest", "tests-integration/distributions", *session.posargs)


def ask(session, *what):
    """Ask the vulnerability database; return what it said of each distribution."""
    report = Path(session.create_tmp(), "report.json")
    report.unlink(missing_ok=True)
    options = ["--progress-spinner=off", "--format=json", f"--output={report}", *session.posargs]
    log = session.run("pip-audit", *options, *what, silent=True, success_codes=[0, 1])
    if not report.exists():
        if "requests.exceptions." in log or "vulnerability feed" in log:
            session.skip(f"the vulnerability database is out of reach: {log.splitlines()[-1]}")
        session.error(log)
    return json.loads(report.read_text())["dependencies"]


@nox.session
def audit(session):
    """Look for known vulnerabilities in what the packages install; `-- -s osv` asks OSV."""
    session.install("pip-audit>=2.9,<3")
    folder = Path(session.create_tmp())
    canary, installed = folder / "canary.txt", folder / "installed"
    canary.write_text(CANARY)
    said = ask(session, f"--requirement={canary}", "--no-deps", "--disable-pip")
    if not any(each.get("vulns") for each in said):
        session.skip(f"the vulnerability database is out of reach: it knows nothing of {CANARY}")
    shutil.rmtree(installed, ignore_errors=True)
    session.install("--target", installed, *[f"./packages/{package}" for package in PACKAGES])
    said = ask(session, f"--path={installed}")
    # Packages of this repository need not be on an index yet.
    missed = {each["name"] for each in said if "skip_reason" in each} - set(PACKAGES)
    if missed or not said:
        session.error(f"not audited: {', '.join(sorted(missed)) or 'anything'}")
    found = [f"{e['name']} {e['version']}: {v['id']}" for e in said for v in e.get("vulns", ())]
    if found:
        session.error(", ".join(found))
    session.log(f"no known vulnerabilities in {len(said)} distributions")


def tagged(tag):
    """Return the package that a tag `<package>-vX.Y.Z` names, which must be at that version."""
    package, _, version = tag.rpartition("-v")
    if package not in PACKAGES:
        raise ValueError(f"{tag} names no package; one is {', '.join(PACKAGES)}")
    (about,) = Path("packages", package, "src").rglob("__about__.py")
    if f'__version__ = "{version}"' not in about.read_text().splitlines():
        raise ValueError(f"{tag} does not agree with {about}")
    return package


@nox.session
def release(session):
    """Build the package that a tag names, alone, into dist/: `-- spark-bench-v0.1.0`."""
    package = tagged(*session.posargs)
    session.install("hatch>=1.14")
    folder, tools = Path("dist").absolute(), Path(session.create_tmp()).absolute()
    # Unset, or hatch's uv installs hatchling here, and not where hatch then builds.
    environment = {"HATCH_DATA_DIR": str(tools), "UV_PYTHON": None}
    with session.chdir(f"packages/{package}"):
        session.run("hatch", "build", "--clean", folder, env=environment)


@nox.session
def demo(session):
    """Run the main job on recorded spikes, and a network; write their figures to demo/."""
    session.install(*EDITABLE, *TOOLS["demo"])
    session.run("python", "docs/demo/run.py", *session.posargs)


@nox.session
def bench(session):
    """Measure the quick suite, check conformance, and write a report to report/."""
    install(session, "spark-bench")
    REPORT.mkdir(exist_ok=True)
    results, facts = REPORT / "results.json", REPORT / "conform.json"
    session.run("spark-bench", "run", "--json", results, *session.posargs)
    session.run("spark-bench", "conform", "--peer", "spark", "--json", facts)
    session.run("spark-bench", "report", results, "--conformance", facts, "-o", REPORT)


@nox.session
def measure(session):
    """Measure the speed figures of docs/measurements.md on this machine."""
    install(session, "spark-bench")
    cases = ["call", "scan/Tracer/*/50x1000000/*", "ways", "gradient"]
    session.run("spark-bench", "run", *[f"--case={case}" for case in cases], *session.posargs)


def environments(session, peers):
    """Make an environment for each peer, and return an option that names its Python, by peer."""
    pythons = {}
    for peer in peers:
        version, *requirements = PEERS[peer]
        python = Path(session.create_tmp(), peer, "bin", "python").absolute()
        if shutil.which(f"python{version}") is None:
            session.warn(f"{peer} needs Python {version}, which is not here")
            continue
        # What cannot be made or installed is reported as missing, and does not stop the others.
        whatever = {"external": True, "success_codes": range(256)}
        session.run(f"python{version}", "-m", "venv", python.parents[1], **whatever)
        if python.exists():
            session.run(python, "-m", "pip", "install", "-q", *requirements, **whatever)
        pythons[peer] = f"--python={peer}={python}"
    return pythons


@nox.session
def peers(session):
    """Compare with other libraries, each in its own environment: facts, then times; to report/."""
    install(session, "spark-bench")
    REPORT.mkdir(exist_ok=True)
    pythons = environments(session, PEERS).values()
    times, facts = REPORT / "peers.json", REPORT / "conform.json"
    session.run("spark-bench", "peers", *pythons, "--json", times, *session.posargs)
    session.run("spark-bench", "conform", *pythons, "--json", facts)
    session.run("spark-bench", "report", times, "--conformance", facts, "-o", REPORT)


@nox.session
def networks(session):
    """Run the networks beside NEST and Brian2, each in its own environment: rates, then times."""
    install(session, "spark-bench")
    REPORT.mkdir(exist_ok=True)
    pythons, failed = environments(session, ["nest", "brian2"]), []
    for network, about in NETWORKS.items():
        options = [*about.get("options", []), f"--json={REPORT / network}.json"]
        options += [f"--figure={REPORT / network}.png"]
        options += [pythons[each] for each in about["beside"] if each in pythons]
        options += session.posargs
        try:  # 3: a simulator is missing
            session.run("spark-bench", "network", network, *options, success_codes=[0, 3])
        except nox.command.CommandFailed:
            failed.append(network)
    if failed:
        session.error(f"differ from another simulator: {', '.join(failed)}")


@nox.session
def docs(session):
    """Build the documentation into site/, and look at it in Chromium, if there is one."""
    session.install(*EDITABLE, *TOOLS["docs"])
    npm = ("npm", "install", "--silent", "--no-audit", "--prefix", session.create_tmp(), KATEX)
    session.run(*npm, success_codes=range(256))
    katex = Path(session.create_tmp(), "node_modules", "katex", "dist")
    if not katex.exists():
        session.skip(f"{KATEX} could not be fetched")
    if shutil.which("chromium") is None and shutil.which("apt-get") and os.geteuid() == 0:
        apt = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium")
        session.run(*apt, external=True, success_codes=range(256))
    session.env.update(VARIABLES["docs"], KATEX=str(katex))
    session.run("mkdocs", "build", "--strict", *session.posargs)
    session.run("pytest", "tests-integration/website")
