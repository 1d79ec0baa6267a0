module wiretape.example/load

go 1.23
