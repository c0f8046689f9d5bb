import { describe, expect, it } from 'vitest';
import { Lines } from '../src/window';

describe('Lines', () => {
  it('places closed lines one under the other', () => {
    const lines = new Lines(10_000, 50);
    expect([lines.total, lines.top(3), lines.at(149), lines.at(150)]).toEqual([500_000, 150, 2, 3]);
  });

  it('moves what is below an opened line, and nothing above', () => {
    const lines = new Lines(10, 50, [{ index: 2, extra: 300 }]);
    expect([lines.top(2), lines.top(3), lines.total]).toEqual([100, 450, 800]);
    expect([lines.at(120), lines.at(440), lines.at(450)]).toEqual([2, 2, 3]);
  });

  it('shows a window of any length, and no more than that', () => {
    const { first, last } = new Lines(10_000, 50).sight(250_000, 600);
    expect(first).toBe(4994);
    expect(last).toBe(5018);
  });

  it('can be empty', () => {
    const lines = new Lines(0, 50);
    expect([lines.total, lines.sight(0, 600).last]).toEqual([0, -1]);
  });
});
