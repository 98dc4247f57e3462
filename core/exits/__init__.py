"""Tables of what every exit answers, and policies that decide who leaves where."""
