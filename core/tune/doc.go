// Package tune searches the values of a recipe: a Study runs trials, each a
// training of its own, and learns from their scores on the validation data.
//
// It knows nothing of training: a trial is a function from values to a score.
// What a trial tries is a function of the study's seed, its number and the
// scores of the rounds before its own, never of time: a study that is stopped
// and goes on, or runs several trials at once, tries the same.
package tune
