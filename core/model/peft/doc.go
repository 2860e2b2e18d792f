// Package peft reads and writes the description of adapter folders as Hugging
// Face peft lays them out: adapter_config.json beside adapter_model.safetensors,
// and the names of the weights in it. What the weights compute is core/model's.
package peft
