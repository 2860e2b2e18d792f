// Package kge learns vectors for the entities and relations of a knowledge
// graph from its facts alone, and measures how well they complete it.
//
// Four models score a fact (head, relation, tail): TransE (Bordes et al. 2013),
// DistMult (Yang et al. 2015), ComplEx (Trouillon et al. 2016) and RotatE (Sun
// et al. 2019). In each of them head and relation make a query vector, which
// is compared with every candidate tail; the inverse relation (its own vector
// when reciprocal relations are on, Lacroix et al. 2018, else the inverted one)
// asks for the head in the same way. Two losses train them: softmax over all
// entities with the nuclear 3-norm as regularizer (Lacroix et al. 2018; models
// that compare by a product), and log-sigmoid with self-adversarial negative
// samples (Sun et al. 2019; all models).
//
// The softmax loss has a closed-form gradient, so a step is three matrix
// products and one pass of exponentials over [queries, entities], in blocks
// that stay in the cache. Facts that share a query (head and relation) share
// its row: their losses add up to the row's count times one log-sum-exp. That
// changes no gradient of an epoch, and saves most of the work in graphs with
// relations of many objects.
//
// Ranks are filtered: other known answers of a query, from all splits, do not
// count. Candidates that tie with the answer count half, so the rank of an
// answer among k equal scores is the mean of the ranks they take together;
// a model that gives every entity one score gains nothing by it.
//
// A run is a function of data, settings and seed, on one kind of CPU with one
// number of threads, which a checkpoint records; a run that was interrupted and
// resumed ends in the same bytes. (On CUDA, sums over repeated rows are not
// ordered, so last digits differ.)
//
// Reading data, choosing settings, ranking and sampling are pure Go; training
// is built with -tags torch.
package kge
