#!/bin/sh
# Stands for pip, pip3, uv, conda and mamba in kernels and in `envpanel run`. The packages of an environment are a
# revision, which nothing changes: what would install says how to do it instead. What only looks, and what is
# aimed at another place, goes on to the real program.

tool=${0##*/}
environment=${ENVPANEL_ENVIRONMENT-}
prefix=${ENVPANEL_PREFIX-}
set -f

# The first of the arguments behind `words` that is one of them.
first() {
    words=$1
    shift
    for word do
        case " $words " in *" $word "*)
            printf '%s\n' "$word"
            return ;;
        esac
    done
}

# The program of this name that is next on PATH and no stand-in.
next() {
    saved=$IFS
    IFS=:
    set -- "$1" $PATH
    IFS=$saved
    name=$1
    shift
    for folder do
        if [ -n "$folder" ] && [ ! -e "$folder/.envpanel-shims" ] && [ -f "$folder/$name" ] && [ -x "$folder/$name" ]
        then
            printf '%s\n' "$folder/$name"
            return 0
        fi
    done
    return 1
}

pass() {
    real=$(next "$tool") && exec "$real" "$@"
    printf '%s\n' "envpanel: there is no $tool here; envpanel packages $environment lists what is installed." >&2
    exit 127
}

# Whether a folder is another place than the environment; where it is none, it is a name, for which $2 decides.
outside() {
    case $1 in
        "$prefix" | "$prefix"/*) return 1 ;;
        */*) return 0 ;;
    esac
    if [ -d "$1" ]; then return 0; fi
    return "$2"
}

# Whether the arguments name another place than this environment, or do nothing.
elsewhere() {
    if [ -n "${VIRTUAL_ENV-}" ] && [ "$VIRTUAL_ENV" != "$prefix" ]; then return 0; fi
    case $tool in
        pip | pip3 | uv) named='--python -p' folders='--target -t --prefix --root' ;;
        *) named='' folders='--prefix -p --name -n' ;;
    esac
    while [ $# -gt 0 ]; do
        option=${1%%=*}
        value=${2-}
        if [ "$option" != "$1" ]; then value=${1#*=}; fi
        case $option in --dry-run | --help | -h | --system) return 0 ;; esac
        # "3.12" is a Python of this environment, "lib" a folder, and of conda another environment.
        case " $named " in *" $option "*) if outside "$value" 1; then return 0; fi ;; esac
        case " $folders " in *" $option "*) if outside "$value" 0; then return 0; fi ;; esac
        shift
    done
    return 1
}

# How to do it: two lines, and the exit code of an installation that failed.
refuse() {
    verb=$1
    shift
    specs=
    found=
    for word do
        if [ -z "$found" ]; then
            found=$(first "$verbs" "$word")
            continue
        fi
        case $word in
            -U | --upgrade | -q | --quiet | -y | --yes | --pre | --user | --no-deps | --no-cache-dir) ;;
            -*) # What stands behind it may be its value.
                specs=
                break
                ;;
            *[!A-Za-z0-9._-]*) specs="$specs \"$word\"" ;;
            *) specs="$specs $word" ;;
        esac
    done
    specs=${specs:- PACKAGE}
    printf '%s\n' "envpanel: $tool changes nothing in $environment: each change of it makes a revision. Instead:" \
        "  %env$verb$specs in a notebook, envpanel $verb $environment$specs in a terminal, or the panel Environments" >&2
    exit 1
}

refuse_unless_elsewhere() {
    wanted=$1
    shift
    if ! elsewhere "$@"; then refuse "$wanted" "$@"; fi
}

# What pip lists, where there is neither pip nor uv.
listing='
import importlib.metadata, sys
found = {item.name: item.version for item in importlib.metadata.distributions()}
width = max(map(len, found), default=0)
for name in sorted(found, key=str.casefold):
    print(f"{name}=={found[name]}" if sys.argv[1] == "freeze" else f"{name:<{width}} {found[name]}")
'

pip() {
    verbs='install uninstall'
    looks='list freeze show check --version -V'
    verb=$(first "$verbs $looks download wheel hash search index inspect config cache debug help completion lock" "$@")
    case $verb in
        install | uninstall) refuse_unless_elsewhere "$verb" "$@" ;;
    esac
    if [ -n "${VIRTUAL_ENV-}" ] && [ "$VIRTUAL_ENV" != "$prefix" ]; then pass "$@"; fi
    set +f
    for module in "$prefix"/lib/python3*/site-packages/pip/__main__.py; do
        if [ -f "$module" ]; then exec "$prefix/bin/python" -m pip "$@"; fi
    done
    set -f
    case " $looks " in *" ${verb:-?} "*)
        if real=$(next uv); then exec "$real" pip "$@" --python "$prefix/bin/python"; fi
        case $verb in list | freeze) exec "$prefix/bin/python" -I -c "$listing" "$verb" ;; esac
        printf '%s\n' "envpanel: pip is not in $environment; envpanel packages $environment lists what is." >&2
        exit 1 ;;
    esac
    pass "$@"
}

uv() {
    verbs='install uninstall sync add remove'
    projects='add remove sync run tree lock export init version'
    case $(first "pip $projects tool venv python cache self build publish format auth help" "$@") in
        pip)
            case $(first "install uninstall sync compile list freeze show tree check" "$@") in
                install | sync) refuse_unless_elsewhere install "$@" ;;
                uninstall) refuse_unless_elsewhere uninstall "$@" ;;
            esac
            ;;
        add | sync) change=install ;;
        remove) change=uninstall ;;
    esac
    # The environment of a project of uv's is its own, unless it is said to be this one.
    if [ "${UV_PROJECT_ENVIRONMENT-}" = "$prefix" ] || [ -n "$(first --active "$@")" ]; then
        if [ -n "${change-}" ]; then refuse_unless_elsewhere "$change" "$@"; fi
    fi
    pass "$@"
}

conda() {
    verbs='install update upgrade remove uninstall'
    case $(first "$verbs create list search info env config clean run init activate deactivate shell package" "$@") in
        install) refuse_unless_elsewhere install "$@" ;;
        update | upgrade) refuse_unless_elsewhere upgrade "$@" ;;
        remove | uninstall) refuse_unless_elsewhere uninstall "$@" ;;
    esac
    pass "$@"
}

if [ -z "$prefix" ]; then pass "$@"; fi
case $tool in
    pip | pip3) pip "$@" ;;
    uv) uv "$@" ;;
    *) conda "$@" ;;
esac
