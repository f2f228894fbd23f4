import { useState } from 'react';
import { Link } from 'react-router';

export function loader() {
  return { video: 'https://www.youtube-nocookie.com/embed/aqz-KE-bpKQ' };
}

export default function Home({ loaderData }) {
  const [count, setCount] = useState(0);
  return (
    <main>
      <h1>Shop</h1>
      <img src="https://ads.acme.example/pixel.gif" width="1" height="1" alt="" />
      <iframe title="Film" width="320" height="180" src={loaderData.video} allowFullScreen />
      <p>
        <button type="button" id="counter" onClick={() => setCount(count + 1)}>
          Bought {count} times
        </button>
      </p>
      <Link id="onwards" to="/second">
        Onwards
      </Link>
    </main>
  );
}
