#!/usr/bin/env python3
"""Write the man pages and the bash completion from the program's own command tables.

manual.py PROGRAM PROSE-DIR OUT-DIR     PROGRAM is chronovisor; PROSE-DIR holds VERB.txt and chronovisor.txt

Prose is plain text: paragraphs are divided by blank lines, indented lines are an example, "# Title" begins a section.
What can drift (options, synopsis, example) is never written by hand.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import time

EXIT_STATUS = """.Sh EXIT STATUS
.Bl -tag -width 1n
.It 0
done; something was found
.It 1
nothing was found, or a check failed
.It 2
wrong usage or an error: one line on standard error says what, where and
what to do, and nothing was changed
.El
"""


def roff(text):
    """Text that roff shows as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    text = re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)
    return "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text)


def flow(lines):
    """A paragraph, each sentence on its own lines, as mdoc wants it."""
    sentences = re.split(r"(?<=[.?!]) +(?=[A-Z(])", " ".join(line.strip() for line in lines))
    return "".join(roff(textwrap.fill(s, 76, break_on_hyphens=False, break_long_words=False)) + "\n" for s in sentences)


def block(lines):
    return ".Bd -literal -offset indent\n" + "\n".join(roff(line) for line in lines) + "\n.Ed\n"


def prose(text):
    """Paragraphs, examples and sections of plain text as mdoc."""
    out, after_heading = [], True
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        lines = part.splitlines()
        if lines[0].startswith("# "):
            out.append(f".Sh {roff(lines[0][2:].upper())}\n")
            after_heading = True
            lines = lines[1:]
            if not lines:
                continue
        if all(line.startswith("  ") for line in lines):
            out.append(block(line[2:] for line in lines))
        else:
            out.append(("" if after_heading else ".Pp\n") + flow(lines))
        after_heading = False
    return "".join(out)


def head(title, summary):
    name = title.removeprefix("chronovisor-")
    date = time.strftime("%B %d, %Y", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))).replace(" 0", " ")
    return (f".\\\" Made by docs/manual.py from the command tables; edit docs/man/{name}.txt or cli/cmd_{name}.c.\n"
            f".Dd {date}\n.Dt {title.upper()} 1\n.Os Chronovisor\n.Sh NAME\n.Nm {title}\n.Nd {roff(summary)}\n")


def read(path):
    return path.read_text(encoding="utf-8") if path.exists() else ""


def verb_page(command, text, commands):
    name = command["name"]
    out = head(f"chronovisor-{name}", command["summary"])
    out += f".Sh SYNOPSIS\n.Ic chronovisor {name}\n{roff(command['synopsis'])}\n" if command["synopsis"] else (
        f".Sh SYNOPSIS\n.Ic chronovisor {name}\n")
    sections = prose(text or command["summary"][0].upper() + command["summary"][1:] + ".")
    # Sections of the prose come after the options.
    first, divider, rest = sections.partition(".Sh ")
    out += ".Sh DESCRIPTION\n" + first + ".Sh OPTIONS\n.Bl -tag -width Ds\n"
    for option in command["options"] + [{"name": "--json", "arg": None, "help": "one JSON object a line"},
                                        {"name": "--help", "arg": None, "help": "a short summary, with an example"}]:
        argument = f" Ar {roff(option['arg'])}" if option["arg"] else ""
        out += f".It Fl {roff(option['name'][1:])}{argument}\n{flow([option['help']])}"
    out += ".El\n" + divider + rest
    out += EXIT_STATUS + ".Sh EXAMPLES\n" + block([command["example"]])
    near = [c["name"] for c in commands if c["group"] == command["group"] and c["name"] != name]
    pages = ["chronovisor"] + [f"chronovisor-{n}" for n in near]
    return out + ".Sh SEE ALSO\n" + " ,\n".join(f".Xr {page} 1" for page in sorted(pages)) + "\n"


def main_page(text, commands):
    out = head("chronovisor", "a surveillance camera for a computer's disk and memory")
    out += ".Sh SYNOPSIS\n.Nm\n.Ar verb\n.Op Ar options\n.Op Ar arguments\n"
    first, divider, rest = prose(text).partition(".Sh ")
    out += ".Sh DESCRIPTION\n" + first
    group = None
    for command in commands:
        if command["group"] != group:
            out += (".El\n" if group else "") + f".Ss {roff(command['group'])}\n.Bl -tag -width Ds\n"
            group = command["group"]
        out += f".It Ic {command['name']} {roff(command['synopsis'])}\n{flow([command['summary']])}"
    return out + (".El\n" if group else "") + divider + rest + EXIT_STATUS


def completion(commands):
    """A bash completion that needs no other file."""
    def words(command):
        return " ".join([o["name"] for o in command["options"]] + ["--json", "--help"])

    out = ["# bash completion for chronovisor. Made by docs/manual.py from the command tables.", "_chronovisor() {",
           '  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} store i',
           "  COMPREPLY=()",
           "  if ((COMP_CWORD == 1)); then",
           f"    mapfile -t COMPREPLY < <(compgen -W '{' '.join(c['name'] for c in commands)} --help --version' -- \"$cur\")",
           "    return", "  fi",
           '  case "$verb $prev" in']
    for command in commands:
        for option in command["options"]:
            arg = option["arg"]
            if not arg:
                continue
            out.append(f"    '{command['name']} {option['name']}')")
            if option["name"] == "--space":
                out += ['      store=${CHRONOVISOR_STORE:-}',
                        '      for ((i = 1; i < COMP_CWORD; i++)); do',
                        '        [[ ${COMP_WORDS[i]} == --store ]] && store=${COMP_WORDS[i+1]}', '      done',
                        '      [[ -n $store ]] && mapfile -t COMPREPLY < <(compgen -W "$(chronovisor spaces --store '
                        '"$store" --json 2>/dev/null |',
                        "        sed -n 's/.*\"name\": *\"\\([^\"]*\\)\".*/\\1/p')\" -- \"$cur\")"]
            elif re.fullmatch(r"[a-z0-9-]+(\|[a-z0-9-]+)+", arg):
                out.append(f"      mapfile -t COMPREPLY < <(compgen -W '{arg.replace('|', ' ')}' -- \"$cur\")")
            elif "DIR" in arg:
                out.append('      mapfile -t COMPREPLY < <(compgen -d -- "$cur")')
            elif re.search(r"FILE|PATH|IMG|IMAGE|KEY|OUT|PEM|LIST", arg):
                out.append('      mapfile -t COMPREPLY < <(compgen -f -- "$cur")')
            out += ["      return ;;"]
    out += ["  esac", '  if [[ $cur == -* ]]; then', '    case $verb in']
    for command in commands:
        out.append(f"      {command['name']}) mapfile -t COMPREPLY < <(compgen -W '{words(command)}' -- \"$cur\") ;;")
    out += ["    esac", "    return", "  fi", '  mapfile -t COMPREPLY < <(compgen -f -- "$cur")', "}",
            "complete -o filenames -F _chronovisor chronovisor", ""]
    return "\n".join(out)


def main():
    program, prose_dir, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    text = subprocess.run([program, "--commands"], check=True, stdout=subprocess.PIPE).stdout.decode()
    commands = [json.loads(line) for line in text.splitlines()]
    man, completions = out / "man", out / "completions"
    man.mkdir(parents=True, exist_ok=True)
    completions.mkdir(exist_ok=True)
    (man / "chronovisor.1").write_text(main_page(read(prose_dir / "chronovisor.txt"), commands))
    for command in commands:
        page = verb_page(command, read(prose_dir / f"{command['name']}.txt"), commands)
        (man / f"chronovisor-{command['name']}.1").write_text(page)
    (completions / "chronovisor").write_text(completion(commands))
    (out / "manual.stamp").write_text("")


main()
