# Makes a table of how far each stage is from the reference, of the lines of whisper/goldentest in
# the output of go test -v: how many comparisons, the largest difference and what is allowed of it.
#
#	go test -v -run Golden ./... | awk -f .ci/golden.awk

BEGIN { nStage = split("mel,encoder,trace,logits,language,adapters", stages, ",") }

# GOLDEN stage: what: differs by X of Y
sub(/^.*GOLDEN /, "") {
	stage = substr($0, 1, index($0, ": ") - 1)
	if (!(stage in count)) {
		for (i = 1; i <= nStage && stages[i] != stage; i++)
			;
		stages[i] = stage
		nStage = i > nStage ? i : nStage
	}
	if (!count[stage]++ || $(NF - 2) * allowed[stage] > worst[stage] * $NF) {
		worst[stage] = $(NF - 2)
		allowed[stage] = $NF
	}
}

END {
	print "golden stage                 compared   largest difference   allowed"
	for (i = 1; i <= nStage; i++)
		if (stages[i] in count)
			printf "%-28s %8d %20s %9s\n", stages[i], count[stages[i]], worst[stages[i]], allowed[stages[i]]
}
