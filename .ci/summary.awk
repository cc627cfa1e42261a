# Sums up the output of go test -v: the output of packages that failed, the tests that were
# skipped and why, and the counts of tests.

/^=== (RUN|NAME|CONT) / { test = $3 }
/^ +[a-z0-9_]+\.go:[0-9]+: / { said[test] = $0 }

/^ *--- SKIP: / {
	reason = said[$3]
	sub(/^ +[a-z0-9_]+\.go:[0-9]+: /, "", reason)
	skips[++nSkip] = $3 ": " reason
}
/^--- PASS: / { nPass++ }
/^--- FAIL: / { nFail++ }
/^--- SKIP: / { nSkipped++ }

{ lines[++n] = $0 }

# The last line of a package.
/^(ok  |FAIL|\?   )\t/ {
	if ($1 == "FAIL") {
		failed = 1
		for (i = (n > 300 ? n - 300 : 1); i <= n; i++)
			print lines[i]
		for (i = 1; i <= n - 300; i++) # what it said before, of the tests that failed
			if (lines[i] ~ /^ *--- FAIL: |^panic: |^fatal error: |WARNING: DATA RACE/)
				for (j = (i > 20 ? i - 20 : 1); j <= i; j++)
					print lines[j]
	}
	n = 0
	delete said
}

END {
	if (!failed && n > 0 && nPass == 0)
		for (i = 1; i <= n; i++)
			print lines[i]
	printf "%d skipped:\n", nSkip
	for (i = 1; i <= nSkip; i++)
		print "  " skips[i]
	printf "%d passed, %d failed, %d skipped\n", nPass, nFail, nSkipped
}
