// Command kge learns vectors of FB15k-237 and WN18RR and prints one JSON row per
// run, appended to a file. It needs -tags torch:
//
//	scripts/go run ./bench/kge -threads 2 [-only FB15k-237] [-rows bench/results/kge.jsonl]
//
// Rows that exist in the file (dataset, settings, threads, processor) are not
// run again. A run whose -work folder holds a checkpoint goes on from it; its
// seconds are then those of the steps, validations and the test of all parts,
// without the seconds that each needs to read the facts. -set KEY=VALUE changes the settings,
// and -trial prints without appending.
//
// Seconds is the time of reading, training, validation and test together, which
// the bar of 30 minutes is for. The settings were chosen by the validation MRR.
package main
