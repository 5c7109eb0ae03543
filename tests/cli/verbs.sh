# Every verb: --help with an example whose options exist, a man page, prose, completion, and a one-line error for bad options.
source "$CHV_SOURCE/tests/functions.sh"
requires mandoc python3
PATH=$BUILD/cli:$PATH
chronovisor --commands >commands || fail "--commands"
python3 - "$SOURCE/docs/man" >verbs <<'E2' || fail "the command tables (above)"
import json, pathlib, re, shlex, sys
groups = ["Record", "Look", "Memory", "Search", "Detect", "Put back", "Keep"]
faults, last = 0, 0
def fault(verb, text):
    global faults
    faults += 1
    print(f"{verb}: {text}", file=sys.stderr)
for line in open("commands"):
    c = json.loads(line)
    name = c["name"]
    print(name, *[o["name"] for o in c["options"]])
    if c["group"] not in groups:
        fault(name, f"group '{c['group']}' is not one of {groups}")
    elif groups.index(c["group"]) < last:
        fault(name, f"out of order in commands.def: '{c['group']}' comes earlier")
    else:
        last = groups.index(c["group"])
    known = {o["name"] for o in c["options"]} | {"--json"}
    words = shlex.split(c["example"].split("|")[0])
    if words[:2] != ["chronovisor", name] and name not in words:
        fault(name, f"the example is not of this verb: {c['example']}")
    for word in words[words.index(name) + 1:] if name in words else []:
        option = word.split("=")[0]
        if re.match(r"-[a-z-]", word) and option not in known and not re.match(r"-\d", word):
            fault(name, f"the example uses {option}, which is not an option")
    for word in re.findall(r"--[a-z][a-z0-9-]*", c["synopsis"]):
        if word not in known:
            fault(name, f"the synopsis names {word}, which is not an option")
    if c["summary"][:1].isupper() or c["summary"].endswith("."):
        fault(name, "the summary is lower case, without a full stop")
    for o in c["options"]:
        if not o["help"] or o["name"] == "--json":
            fault(name, f"{o['name']} has no help text, or is there twice")
    prose = pathlib.Path(sys.argv[1], name + ".txt")
    if not prose.exists():
        fault(name, f"docs/man/{name}.txt is missing")
    else:
        text = re.sub(r"^  .*", "", prose.read_text(), flags=re.M)  # examples may call other programs
        for word in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text):
            if word not in known and word != "--help" and not any(
                    word in {o["name"] for o in json.loads(other)["options"]} for other in open("commands")):
                fault(name, f"docs/man/{name}.txt names {word}, which no verb has")
sys.exit(faults > 0)
E2

source "$BUILD/docs/completions/chronovisor"
complete_words() { # what the last of these words is completed to
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  _chronovisor
  printf '%s\n' "${COMPREPLY[@]}"
}
complete_words chronovisor '' >offered
mandoc -Tlint -W warning "$BUILD/docs/man/chronovisor.1" >&2 || fail "chronovisor.1"
count=0
while read -r verb options; do
  count=$((count + 1))
  expect_exit 0 chronovisor "$verb" --help
  grep -q '^usage: chronovisor ' out && grep -A1 '^example:' out | grep -q "chronovisor $verb" || fail "$verb --help has no example"
  page=$BUILD/docs/man/chronovisor-$verb.1
  [[ -s $page ]] || fail "no man page for $verb"
  mandoc -Tlint -W warning "$page" >&2 || fail "the man page of $verb"
  mandoc -Tascii "$page" | sed 's/.\x08//g' >page
  grep -qx "$verb" offered || fail "completion does not know $verb"
  complete_words chronovisor "$verb" - >completed
  for option in $options --json; do
    grep -qx -e "$option" completed || fail "completion of $verb does not know $option"
    grep -q -e "^ *$option" page || fail "the man page of $verb does not have $option"
  done
  one_line_error chronovisor "$verb" --no-such-option
  one_line_error chronovisor "$verb" --store "$WORK/no/such/store" </dev/null
done <verbs
[[ $count -gt 0 ]] || fail "no verbs"
echo "$count verbs"
