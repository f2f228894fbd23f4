'use client';

import Link from 'next/link';
import { useState } from 'react';

export default function Shop({ video }) {
  const [count, setCount] = useState(0);
  return (
    <main>
      <h1>Shop</h1>
      <img src="https://ads.acme.example/pixel.gif" width="1" height="1" alt="" />
      <iframe title="Film" width="320" height="180" src={video} allowFullScreen />
      <p>
        <button type="button" id="counter" onClick={() => setCount(count + 1)}>
          Bought {count} times
        </button>
      </p>
      <Link id="onwards" href="/second" prefetch={false}>
        Onwards
      </Link>
    </main>
  );
}
