#!/usr/bin/env bats
# The program in fresh systems: built without root from unpacked packages, installed from its .deb, made by the Containerfile.
# Minutes each, so only in `make soak ONLY=packages`; by mmdebstrap, as root, from the packages that apt reaches here.

load work

setup() {
  [ -n "$SOAK" ] || skip "fresh systems are made by make soak ONLY=packages alone"
  [ "$(id -u)" = 0 ] || skip "chroot needs root"
  command -v mmdebstrap >/dev/null || apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null 2>&1 ||
    skip "mmdebstrap cannot be installed"
  work_in "$(mktemp -d)"
  unset MAKEFLAGS MFLAGS HARNESS_DB
  systems="$BATS_FILE_TMPDIR"
  [ -d "$systems/base" ] || first_system || skip "no system can be made here: $(tail -n 1 "$systems/log")"
}

teardown() {
  [ -z "$work" ] || rm -rf "$work"
}

# $systems/base: a minimal system of this release, in which apt asks whom it asks here.
first_system() {
  local at="$systems/base"
  # shellcheck disable=SC2046,SC2012
  mmdebstrap --variant=apt "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$at" $(ls /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null) \
    >"$systems/log" 2>&1 || return 1
  cp -L /etc/resolv.conf /etc/hosts "$at/etc/" 2>/dev/null || true
  cp -r /etc/apt/apt.conf.d /etc/apt/auth.conf.d "$at/etc/apt/" 2>/dev/null || true
}

# $systems/NAME: as it was.
fresh() { # NAME
  cp -a "$systems/base" "$systems/$1"
}

inside() { # NAME COMMAND: as root, in a shell there, with /proc and /dev, which are gone afterwards
  # shellcheck disable=SC2016
  unshare --mount sh -ec 'mount --rbind /proc "$0/proc"; mount --rbind /dev "$0/dev"; exec chroot "$0" "$@"' "$systems/$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive sh -ec "$2"
}

as_user() { # NAME COMMAND: as one who is not root, at home
  inside "$1" "id somebody >/dev/null 2>&1 || useradd -m somebody; cd /home/somebody; exec setpriv --reuid=somebody --regid=somebody --clear-groups env HOME=/home/somebody sh -ec '$2'"
}

# The sources without what is built, in a folder there.
sources_into() { # NAME FOLDER
  mkdir -p "$systems/$1$2"
  (cd "$root" && { tests/sources; echo .git; } | tar -cf - -T -) | tar -xf - -C "$systems/$1$2" --no-same-owner
}

table6='steps=2 seeds=1 collapse_dice=0'

@test "without root and without a library installed: from Debian's packages, unpacked into a folder" {
  fresh bare
  inside bare "apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev make pkg-config git >/dev/null"
  sources_into bare /home/somebody/source
  inside bare "id somebody >/dev/null 2>&1 || useradd -m somebody; chown -R somebody: /home/somebody"
  # As docs/install.md has it, line by line; make names what is missing first.
  run as_user bare "cd source && make CUDA=0"
  [ "$status" -ne 0 ]
  [[ "$output" == *"SQLite"*"libsqlite3-dev"* && "$output" != *" CC "* ]]
  sed -n '/^## Without root/,/^## /s/^    //p' "$root/docs/install.md" | sed 's/make CPPFLAGS/make -j2 CUDA=0 CPPFLAGS/' >"$systems/bare/home/somebody/commands"
  as_user bare "cd source && sh -ex ../commands" >"$systems/log" 2>&1 || { tail -n 40 "$systems/log"; false; }
  inside bare "! ls /usr/include/sqlite3.h /usr/include/dnnl.h 2>/dev/null"
  as_user bare "cd source && ./harness run experiments/query_count.lua $table6" | tee out
  grep -q '^Table 6 .*1 seed' out
  [ "$(grep -c ' done$' out)" -eq 4 ]
}

@test "the .deb is lintian's idea of one, and with it alone Table 6 runs in a fresh system" {
  fresh builder
  inside builder "apt-get update -qq && apt-get install -y -qq --no-install-recommends make lintian man-db >/dev/null"
  sources_into builder /source
  inside builder "cd /source && make -s deb" >"$systems/log" 2>&1 || { tail -n 40 "$systems/log"; false; }
  inside builder "cd /source/build/deb && lintian --allow-root --fail-on error,warning --info harness_*.deb && rm -rf /tmp/*" | tee out
  fresh clean
  cp "$systems"/builder/source/build/deb/harness_*.deb "$systems/clean/tmp/"
  inside clean "apt-get update -qq && apt-get install -y -qq --no-install-recommends /tmp/harness_*.deb >/dev/null && rm /tmp/*.deb"
  as_user clean "harness run query_count $table6" | tee out
  grep -q '^Table 6 .*1 seed' out
  [ "$(grep -c ' done$' out)" -eq 4 ]
  as_user clean "harness table 6 --format json >/dev/null && harness doctor && ls" | tee out
  grep -q '^ok *home */usr/share/harness$' out
  [ "$(tail -n 1 out)" = results ]
  [ "$(inside clean 'harness --version')" = "$(inside builder '/source/build/deb/objects/harness --version')" ]
  inside clean "apt-get purge -y -qq harness >/dev/null 2>&1; ! ls /usr/share/harness /usr/bin/harness 2>/dev/null"
}

@test "the Containerfile's steps, one after the other, end in a system whose entry point runs Table 6" {
  local stage='' last='' workdir word rest from name
  while read -r word rest; do
    case $word in
      FROM)
        last=image${#stage}
        stage+=x
        workdir=/
        [[ "$rest" == *"debian:$(. /etc/os-release && echo "$VERSION_CODENAME")"* ]] || skip "the Containerfile is of another release"
        case $rest in *" AS "*) eval "stage_${rest##* AS }=$last" ;; esac
        fresh "$last"
        ;;
      WORKDIR) workdir=$rest && mkdir -p "$systems/$last$rest" ;;
      RUN) inside "$last" "cd $workdir && $rest" >"$systems/log" 2>&1 || { tail -n 40 "$systems/log"; false; } ;;
      COPY)
        case $rest in
          --from=*)
            name=stage_${rest%% *} && name=${name/--from=/} && read -r from rest <<<"${rest#* }"
            # shellcheck disable=SC2086
            mkdir -p "$systems/$last$rest" && cp -a "$systems/${!name}"$from "$systems/$last$rest"
            ;;
          ". "*) sources_into "$last" "${rest#. }" ;;
          *) false ;;
        esac
        ;;
      ENTRYPOINT) [ "$rest" = '["harness"]' ] ;;
      '#' | '' | '#'*) ;;
      *) echo "what is $word?" && false ;;
    esac
  done <"$root/src/packaging/Containerfile"
  inside "$last" "cd $workdir && harness run query_count $table6" | tee out
  [ "$(grep -c ' done$' out)" -eq 4 ]
  [ -f "$systems/$last/here/results/plots/query_count.svg" ]
}

@test "objects of two builds in different folders are equal, all of them, and so are the programs" {
  fresh twice
  inside twice "apt-get update -qq && apt-get install -y -qq --no-install-recommends make >/dev/null"
  for folder in /one /another/folder; do
    sources_into twice $folder
    inside twice "cd $folder && make -s deps && make -s -j2 CUDA=0" >"$systems/log" 2>&1 || { tail -n 40 "$systems/log"; false; }
  done
  cd "$systems/twice"
  (cd one/build && find . -name '*.o' -o -name harness) >"$work/files"
  [ "$(wc -l <"$work/files")" -gt 250 ]
  while read -r file; do cmp "one/build/$file" "another/folder/build/$file"; done <"$work/files"
}
