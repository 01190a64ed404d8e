// SPDX-License-Identifier: Apache-2.0

package keeper

// Work returns what a round has to write and which keys it has to delete.
func (k *Keeper) Work() (puts []Entry, drops []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, value := range k.want {
		if !k.present(key, value) {
			puts = append(puts, Entry{key, value})
		}
	}
	for key := range k.drop {
		drops = append(drops, key)
	}
	return puts, drops
}

// Wrote says that entries are there, and stay until [Keeper.Lost].
func (k *Keeper) Wrote(entries ...Entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range entries {
		if value, ok := k.want[e.Key]; ok && value == e.Value {
			k.written[e.Key] = e.Value
		}
	}
}

// Erased says that keys are gone. What is wanted again meanwhile the next round writes.
func (k *Keeper) Erased(keys ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		delete(k.drop, key)
		delete(k.written, key)
	}
}

// Lost says that nothing is known to be there any more: the next round writes it all
// again. It returns how many entries are wanted.
func (k *Keeper) Lost() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.written)
	return len(k.want)
}
