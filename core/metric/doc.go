// Package metric turns gold labels and predictions into scores.
//
// Classification, MultiLabel, Tagging and Regression each give a Report: the
// table people know from scikit-learn (precision, recall, F1 and support per
// label; micro, macro and weighted averages), the entity scores of conlleval
// for taggers, the majority baseline and the confusion matrix. A Report is
// the value of a head in metrics.json, and Metrics is that file.
//
// A Report that was computed, not read, also carries a Sample: counts per
// example that add up. PairedBootstrap and ByGroup resample them, so that a
// difference between two models or two groups comes with its interval.
//
// Text scores generated text against references: BLEU, chrF, ROUGE and exact
// match, equal to sacrebleu and rouge-score.
//
// Undefined ratios (0/0) are 0. A label that occurs neither in gold nor among
// the predictions has no row and is in no average, as in scikit-learn; it is
// named in Report.Unused. A prediction of -1 (a token cut by a length limit)
// is a miss: it counts against recall and is never right.
//
// The package knows nothing of models, files of data or terminals; core/report
// prints what is computed here.
package metric
