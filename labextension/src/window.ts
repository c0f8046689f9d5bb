/** Which lines of a long list are in sight, where some of them are opened and higher. Plain arithmetic. */

export interface Opened {
  index: number;
  /** Its height beyond that of a closed line. */
  extra: number;
}

export interface Sight {
  first: number;
  last: number;
}

export class Lines {
  private readonly _opened: readonly Opened[];

  constructor(
    readonly count: number,
    readonly height: number,
    opened: readonly Opened[] = []
  ) {
    this._opened = [...opened].sort((a, b) => a.index - b.index);
  }

  /** The height of all. */
  get total(): number {
    return this.top(this.count);
  }

  /** Where a line begins. */
  top(index: number): number {
    let top = index * this.height;
    for (const item of this._opened) {
      if (item.index >= index) {
        break;
      }
      top += item.extra;
    }
    return top;
  }

  /** The line at a height. */
  at(top: number): number {
    let [low, high] = [0, Math.max(this.count - 1, 0)];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.top(middle) <= top) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }

  /** The lines in sight, and so many before and after. */
  sight(scroll: number, height: number, around = 6): Sight {
    return {
      first: Math.max(this.at(scroll) - around, 0),
      last: Math.min(this.at(scroll + height) + around, this.count - 1)
    };
  }
}
