# Types each line at a zsh on a terminal of its own, and a tab, and prints what that zsh offers.
zmodload zsh/zpty
zpty user 'zsh -d -i'
zpty -r user said '*READY*'
for line; do
    zpty -w -n user $line$'\t'
    zpty -r user said '*OVER*'
    print -r -- '== '
    for word in ${(f)${said//$'\r'}}; do
        [[ $word == '<'*'>' ]] && print -r -- ${${word#<}%>}
    done
    zpty -w -n user $'\C-u'
done
true
