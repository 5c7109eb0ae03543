# The model that ships can be loaded, says what it is, and judges a recording.
source "$CHV_SOURCE/tests/functions.sh"
expect_exit 0 chronovisor models "$CHV_SOURCE/detect/default.model"
grep -q 'ransomware' out || fail "its classes: $(cat out)"
dd if=/dev/urandom of=f bs=4096 count=64 status=none
{
  echo 'space disk:vda 1073741824 zero'
  for i in {1..20}; do printf 'at %d.5\nwrite %d f 0 8192\nread %d 64\n' "$i" $((i * 8000)) $((i * 16000)); done
  echo flush
} | "$BUILD/tests/search/synth" s 4096
expect_exit 1 chronovisor detect --store s --model "$CHV_SOURCE/detect/default.model"
