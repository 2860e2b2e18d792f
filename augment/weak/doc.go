// Package weak combines the votes of labelling functions, none of which is
// reliable, into labels with probabilities.
//
// A labelling function looks at one text and says a class, marks spans, or
// abstains. Votes holds what a set of functions says about a set of texts;
// Majority counts; Fit estimates without any label how good each function is, and
// weighs. Sequences and FitSequence do the same for spans, where what stands at one
// token says something about the next.
//
// It is the method of data programming (Ratner et al. 2016, Data Programming:
// Creating Large Training Sets, Quickly; Ratner et al. 2017, Snorkel: Rapid
// Training Data Creation with Weak Supervision), with the hidden Markov model of
// Lison et al. (2020, Named Entity Recognition without Labelled Data: A Weak
// Supervision Approach) for spans. The functions are taken to err independently of
// each other given the truth; functions that copy each other are believed too much.
package weak
