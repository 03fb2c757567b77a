/** A linked queue in order of arrival. Adding, and removing at either end or between, take constant time. */
export class WaitingLine<T extends LinePlace> {
  #oldest: T | undefined;
  #newest: T | undefined;

  get oldest(): T | undefined {
    return this.#oldest;
  }

  get newest(): T | undefined {
    return this.#newest;
  }

  /** @param place must not be in a line. */
  add(place: T): void {
    place.before = this.#newest;
    if (this.#newest === undefined) this.#oldest = place;
    else this.#newest.after = place;
    this.#newest = place;
  }

  /** @param place must be in this line. */
  remove(place: T): void {
    const before = place.before as T | undefined;
    const after = place.after as T | undefined;
    if (before === undefined) this.#oldest = after;
    else before.after = after;
    if (after === undefined) this.#newest = before;
    else after.before = before;
    place.before = undefined;
    place.after = undefined;
  }
}

/** A place in a line. Only the line writes it. */
export interface LinePlace {
  before: LinePlace | undefined;
  after: LinePlace | undefined;
}
