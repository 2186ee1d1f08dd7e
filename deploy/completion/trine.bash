# Completion of trine for bash: source it, or install it as /usr/share/bash-completion/completions/trine.
_trine() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o bashdefault -o default -F _trine trine
