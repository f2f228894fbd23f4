#!/bin/sh
# Says what must be held back from whom, and asks consentry dev whether it is.
set -eu
site=${1:-http://localhost:8080}
jar=$(mktemp)
trap 'rm -f "$jar"' EXIT
failed=0

# Goes to a page as a browser would, in a state: visit STATE PAGE
visit() {
    curl --silent --show-error --fail --location --max-time 30 --output /dev/null \
        --cookie "$jar" --cookie-jar "$jar" --header 'Accept: text/html' "$site$2?__consent=$1"
}

# What was decided for the last answer: must VERDICT VENDOR PAGE
must() {
    decided=$(curl --silent --show-error --fail --max-time 30 "$site/.consentry/decisions?page=$3")
    case $decided in
        *"\"vendor\":\"$2\",\"verdict\":\"$1\""*) echo "ok      $state: $1 $2 on $3" ;;
        *) echo "FAILED  $state: $1 $2 on $3"; failed=1 ;;
    esac
}

for state in undecided refuse; do
    visit $state /
    must block google-analytics /
    must block hotjar /
    visit $state /thanks.html
    must block meta-pixel /thanks.html
done
state=analytics
visit $state /
must allow google-analytics /
must allow hotjar /
visit $state /thanks.html
must block meta-pixel /thanks.html
exit $failed
